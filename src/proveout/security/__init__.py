"""What protects a service: checks of what goes in and of what comes out."""
