"""One self-contained HTML page of tables, pictures and sampled answers, from plain data; knows no file format and no
run folder.

    board.py      rows of a leaderboard -> tables and pictures
    picture.py    a matplotlib figure -> an image that follows the reader's light or dark theme
    answers.py    sampled answers -> packed data for the browser of answers
    document.py   all of it -> the text of the page

Nothing is fetched when the page is opened, and no text of a model is ever read as markup: Jinja escapes what is in the
page, the script sets text and nothing else, and the page's own policy (Content-Security-Policy) allows no script but
that one.
"""
