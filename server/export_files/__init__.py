"""What stands in a package of a driver's own data, and how it is written."""
