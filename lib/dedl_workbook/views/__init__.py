"""What is shown: tables, maps, pictures, pages, the terminal."""
