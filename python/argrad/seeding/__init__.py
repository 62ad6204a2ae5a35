"""Seeding: exact k-means++ at the cost of about one pass over the data, its variants, and k-means itself."""

from argrad.seeding._assign import assign, kmeans
from argrad.seeding._plusplus import kmeans_plusplus
from argrad.seeding._potential import kmeans_potential
from argrad.seeding._sampler import D2Sampler, Seeding

__all__ = ["D2Sampler", "Seeding", "assign", "kmeans", "kmeans_plusplus", "kmeans_potential"]
