"""The measure of the kit: right plugins, faulty ones made from them, and how many are caught."""
