"""What the figures are compared with, written as a competent engineer would write it."""
