"""What is handed out: the wheel, and the list of what is in it. `make release`."""
