"""The product: take a credit, make an image, or give the credit back."""
