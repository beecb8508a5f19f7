"""docs/recipes.md, and that what it says of memory is what fits."""

import pytest

from launch.footprint import V100_GIB
from tests.recipe_tables import PAGE, imagenet, page, total_gib


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "python -m tests.recipe_tables"


@pytest.mark.parametrize("recipe", imagenet(), ids=lambda recipe: recipe.run.recipe)
def test_a_recipes_micro_batch_fits_a_v100(recipe) -> None:
    assert recipe.run.augmentation.image_size == 224
    assert 4 < total_gib(recipe) < V100_GIB
