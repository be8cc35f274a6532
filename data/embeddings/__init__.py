"""Vectors of items, made from texts, categories, numbers and what users answered."""

from smartrec.data.embeddings.autoencoder import Autoencoder
from smartrec.data.embeddings.blocks import Block
from smartrec.data.embeddings.categories import CategoryBlock
from smartrec.data.embeddings.embed import embed
from smartrec.data.embeddings.embedder import BLOCKS, ItemEmbedder
from smartrec.data.embeddings.factors import FactorBlock
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.embeddings.numbers import NumberBlock
from smartrec.data.embeddings.sentences import SentenceBlock
from smartrec.data.embeddings.tables import items_of_films, read_items
from smartrec.data.embeddings.text import TextBlock
from smartrec.data.embeddings.vectors import ItemVectors, read_vectors, write_vectors

__all__ = [
    "BLOCKS",
    "Autoencoder",
    "Block",
    "CategoryBlock",
    "FactorBlock",
    "ItemEmbedder",
    "ItemTable",
    "ItemVectors",
    "NumberBlock",
    "SentenceBlock",
    "TextBlock",
    "embed",
    "items_of_films",
    "read_items",
    "read_vectors",
    "write_vectors",
]
