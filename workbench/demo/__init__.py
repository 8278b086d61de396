"""Small data made by the program itself, so that everything runs with nothing downloaded."""
