"""Point sets of vqSGD (Gandikota, Kane, Maity, Mazumdar 2020)."""
