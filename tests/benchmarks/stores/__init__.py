"""What reading values from an object store costs."""
