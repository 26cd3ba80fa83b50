"""What is computed: networks, losses, corruptions, linear starts."""
