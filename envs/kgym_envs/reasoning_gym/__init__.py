"""The family `rg`: every data set of the package reasoning-gym as an environment."""
