"""`make generate`, or `PYTHONPATH=src:tests python -m generate`: writes anew all that is made out of the code."""

from generate.files import FILES, README, with_tables

if __name__ == "__main__":
    for path, make in FILES.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(make())
    README.write_text(with_tables(README.read_text()))
