"""What a data center serves: pinned files and images, where they come from, and the mirror that holds them."""
