"""One self-contained HTML page of tables, pictures and sampled completions, made from plain data. The package reads no
files and no run folders.

    board.py      rows of a leaderboard -> tables and pictures
    picture.py    a matplotlib figure -> an image that follows the reader's light or dark theme
    answers.py    sampled completions -> packed data for the browser of completions
    document.py   all of it -> the text of the page

Nothing is fetched when the page is opened, and text of a model is never read as markup: Jinja escapes what is in the
page, the script sets only text, and the page's own policy (Content-Security-Policy) allows only that script.
"""
