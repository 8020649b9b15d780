"""Stage 3: words to formulas. All that the verifier knows of English and other languages is in the tables of this
package.
"""
