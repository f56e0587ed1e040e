"""What is sent, done and answered alike for more than one caller."""
