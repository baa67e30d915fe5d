"""What costs money, written down before it is made, so that it is found and removed whatever happens in between."""
