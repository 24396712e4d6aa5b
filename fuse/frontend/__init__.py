"""What people build expressions with."""
