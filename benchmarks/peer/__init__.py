"""What to compare with: the same data behind Django REST framework and guardian, as usual."""
