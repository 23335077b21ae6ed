"""What recall means, exact neighbours, and when two measurements of recall differ."""
