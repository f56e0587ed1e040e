"""What is told without being asked: endpoints of stores and of the operator, events, deliveries."""
