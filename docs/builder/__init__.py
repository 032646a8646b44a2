"""What the site is built with: pages made from the package and its results, figures, formulas."""
