"""What is predicted before anything is built: ceilings, curves, costs, the surface and its front."""
