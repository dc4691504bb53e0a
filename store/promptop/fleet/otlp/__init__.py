"""OpenTelemetry's protocol (OTLP over HTTP with protobuf or JSON): calls of instrumented programs in, our rows out."""
