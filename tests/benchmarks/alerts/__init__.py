"""How soon, how surely and how rightly incidents are found, on simulated weeks of shops of three sizes."""
