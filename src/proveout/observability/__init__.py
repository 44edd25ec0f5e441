"""What is told to the outside about served requests: the telemetry conventions' names."""
