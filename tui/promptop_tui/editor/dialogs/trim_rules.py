"""The trim rules, each with whether it is on."""

from __future__ import annotations

from collections.abc import Collection

from promptop.trim.rules.rule import TrimRule
from promptop_tui.widgets.picker_modal import PickerModal


class TrimRulesDialog(PickerModal[TrimRule, TrimRule | None]):
    """Returns the rule that is to be switched."""

    HELP = """\
Enter switches the highlighted rule off or on; that is remembered on this machine, and promptop trim follows it. Rules
that [editor] trim_off names are switched in the settings. Rules on request run with promptop trim --select."""

    def __init__(self, off: Collection[str], off_in_settings: Collection[str]) -> None:
        from promptop.trim import RULES

        rules = [rule for rule in RULES if not rule.on_request and rule.id not in off_in_settings]
        super().__init__(
            "Trim rules",
            lambda _: rules,
            label=lambda rule: f"{'○' if rule.id in off else '●'} {rule.id:<18} {rule.severity:<6} {rule.description}",
        )
