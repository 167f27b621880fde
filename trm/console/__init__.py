"""What is printed: streams that never end the work, text without secrets, progress of what takes long."""
