"""The fleet's log: the logs of many hosts in one ClickHouse database, shipped exactly once and read as one."""
