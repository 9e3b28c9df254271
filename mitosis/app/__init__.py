"""The Hydra front door: composes the configuration and hands each job to the launcher."""
