"""LaTeX commands, functions and signs that the tokenizer knows. Pure tables."""

from kgym_plugins.verifiers.math.tables import name_list

SPACES = frozenset(
    [
        ",",
        "!",
        ";",
        ":",
        ">",
        "quad",
        "qquad",
        "enspace",
        "thinspace",
        "medspace",
        "thickspace",
        "negthinspace",
        "enskip",
        "space",
        "nobreakspace",
    ]
) | {
    " ",
    "\n",
    "\t",
}
IGNORED = frozenset(
    name_list(
        """
    left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle scriptstyle
    limits nolimits rm it bf sf tt cal boldmath mathstrut strut phantomsection noindent small large Large footnotesize
    normalsize centering hfill therefore because implies Rightarrow nonumber hline
    """
    )
)
"""Commands without an argument that change nothing."""
DROPPED_WITH_ARGUMENT = frozenset(
    name_list("hspace vspace phantom hphantom vphantom label tag color textcolor mspace kern")
)
WRAPPERS = frozenset(
    name_list(
        """
    boxed fbox framebox ensuremath mathstrut displaylines cancel underline mathord mathop mathrel smash
    """
    )
)
"""Commands whose argument counts as if it was there alone."""
TEXT = frozenset(
    name_list(
        """
    text textrm textbf textit textsf texttt textnormal textup textsc mbox hbox emph
    mathrm mathit mathsf mathtt operatorname mathup mathnormal textmd
    """
    )
)
LETTERS = frozenset(
    name_list(
        """
    mathbf boldsymbol bm mathcal mathscr mathfrak pmb
    vec hat widehat bar overline tilde widetilde dot ddot overrightarrow mathds
    """
    )
)
"""Commands that decorate a letter."""

OPERATORS = {
    "times": "*", "cdot": "*", "ast": "*", "bullet": "*", "div": "/",
    "le": "<=", "leq": "<=", "leqslant": "<=", "leqq": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "geqq": ">=",
    "ne": "!=", "neq": "!=", "lt": "<", "gt": ">",
    "approx": "~", "simeq": "~", "thickapprox": "~", "doteq": "~", "approxeq": "~",
    "equiv": "===", "cong": "cong", "sim": "sim", "propto": "propto",
    "in": "in", "notin": "notin", "cup": "cup", "bigcup": "cup", "cap": "cap", "bigcap": "cap",
    "setminus": "setminus", "backslash": "setminus", "smallsetminus": "setminus", "pm": "pm", "mp": "mp", "colon": ":",
    "mid": "|", "vert": "|", "lvert": "|", "rvert": "|", "Vert": "||", "lVert": "||", "rVert": "||", "|": "||",
    "ldots": "...", "cdots": "...", "dots": "...", "dotsc": "...", "dotsb": "...", "vdots": "...", "ddots": "...",
    "to": "to", "rightarrow": "to", "longrightarrow": "to", "land": "and", "wedge": "and", "lor": "or", "vee": "or",
    "%": "%", "permille": "permille", "prime": "'", "circ": "circ", "degree": "degree", "degrees": "degree",
    "subset": "subset", "subseteq": "subset",
    "mapsto": "maps", "longmapsto": "maps", "colonequals": "=", "coloneqq": "=", "triangleq": "=", "&": "and",
}  # fmt: skip
DELIMITERS = {
    "{": ("open", "{"), "}": ("close", "}"), "lbrace": ("open", "{"), "rbrace": ("close", "}"),
    "langle": ("open", "<"), "rangle": ("close", ">"), "lparen": ("open", "("), "rparen": ("close", ")"),
    "lbrack": ("open", "["), "rbrack": ("close", "]"),
    "lfloor": ("open", "floor"), "rfloor": ("close", "floor"), "lceil": ("open", "ceil"), "rceil": ("close", "ceil"),
}  # fmt: skip
FUNCTIONS = {
    **{name: name for name in name_list(
    """
    sin cos tan cot sec csc sinh cosh tanh coth ln exp log lg max min gcd lcm det arg Re Im cis sgn abs floor ceil erf
    """
)},
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "asin": "asin", "acos": "acos", "atan": "atan",
    "arccot": "acot", "acot": "acot", "arcsec": "asec", "arccsc": "acsc",
    "arctg": "atan", "tg": "tan", "ctg": "cot", "cosec": "csc", "sign": "sgn", "ceiling": "ceil",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh",
    "sech": "sech", "csch": "csch",
}  # fmt: skip
PLAIN_FUNCTIONS = {
    **FUNCTIONS,
    "sqrt": "sqrt",
    "cbrt": "cbrt",
    "root": "sqrt",
    "binom": "binom",
    "choose": "choose",
    "mod": "mod",
    "comb": "binom",
}
"""Functions by the names that plain text uses."""
NOT_EVALUATED = frozenset(
    name_list(
        """
    sum prod int iint iiint oint lim limsup liminf bigoplus nabla partial forall exists coprod inf sup
    """
    )
)
"""Operators whose value is not computed: an answer that still has one is not an answer, unless the gold has it too."""
CONSTANTS = {
    "pi": "pi",
    "infty": "oo",
    "emptyset": "empty",
    "varnothing": "empty",
    "infinity": "oo",
    "oo": "oo",
    "inf": "oo",
    "imath": "i",
    "euler": "e",
}
NUMBER_SETS = {"R": "reals", "Z": "integers", "N": "naturals", "Q": "rationals", "C": "complexes"}
CURRENCIES = {
    "$": "dollar",
    "euro": "euro",
    "pounds": "sterling",
    "yen": "yen",
    "cent": "cent",
    "textdollar": "dollar",
    "texteuro": "euro",
    "rupee": "rupee",
}
