"""From files and the hub to problems: columns, repositories, known data sets, imports."""
