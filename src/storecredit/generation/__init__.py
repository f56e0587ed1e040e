"""The product: take credits, make an image, or give the credits back."""
