"""Where stores are: what is read of the file, and what is said of one that is wrong."""

from importlib.resources import files
from pathlib import Path

import pytest

from pipeline.settings.places import Place, PlacesError, load_places
from pipeline.tools.simulator.shop import STORES

HEAD = "store_id,name,latitude,longitude,opened\n"


def test_stores_are_where_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "stores.csv"
    file.write_text("\ufeff" + HEAD + '7,"Köln, Dom",50.94,6.96,2011\n8,,-33.9,151.2,\n', encoding="utf-8")
    assert load_places(str(file)) == {"7": Place("Köln, Dom", 50.94, 6.96), "8": Place("", -33.9, 151.2)}
    assert load_places("") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,latitude,longitude\n", "line 1: no column 'store_id'; the first line names store_id, name, latitude"),
        ("", "line 1: no column 'store_id'"),
        (HEAD + "1,a,50,7,\n2,b,91,7,\n", "line 3: latitude: Input should be less than or equal to 90"),
        (HEAD + "1,a,50,nan,\n", "line 2: longitude: Input should be a finite number"),
        (HEAD + "1,a,50\n", "line 2: longitude: Field required"),
        (HEAD + ",a,50,7,\n", "line 2: store_id: "),
        (HEAD + "1,a,50,7,\n1,b,51,7,\n", "line 3: '1' is there twice"),
    ],
)
def test_a_file_that_is_wrong_names_the_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "stores.csv"
    file.write_text(text)
    with pytest.raises(PlacesError) as refused:
        load_places(str(file))
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"CX_WEB__STORES: {file}")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(PlacesError, match="cannot be read"):
            load_places(str(path))
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlacesError, match="cannot be read"):
        load_places(str(binary))


def test_the_simulated_shops_stores_are_somewhere() -> None:
    assert tuple(load_places(str(files("pipeline.tools.simulator") / "stores.csv"))) == STORES
