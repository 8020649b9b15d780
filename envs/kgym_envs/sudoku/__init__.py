"""Sudoku of four by four: rows, columns and blocks of two by two hold the digits 1 to 4; solved by exclusion."""
