"""Public names and errors of the package, and rules for its source code."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import edge_sdk
from edge_sdk import errors

PACKAGE = Path(edge_sdk.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

NAMES = [
    "AcquisitionError",
    "ArrayContract",
    "AttemptPolicy",
    "BackendUnavailableError",
    "BoardKey",
    "CaptureError",
    "ChangeCommittedError",
    "CommandRefusedError",
    "DecisionPolicy",
    "Detector",
    "DoorLock",
    "EdgeSdkError",
    "Embedder",
    "EnrolOptions",
    "FileAnchor",
    "Gallery",
    "GalleryChangedError",
    "GalleryError",
    "GalleryFormatError",
    "InputContract",
    "InputError",
    "Installation",
    "KeyFile",
    "MiniFasNet",
    "ModelCard",
    "ModelCardError",
    "ModelContractError",
    "ModelError",
    "ModelMismatchError",
    "OperatingPoint",
    "Passphrase",
    "PiCamera",
    "PluginError",
    "Recognition",
    "Recognizer",
    "RollbackError",
    "SealError",
    "Strike",
    "SubjectExistsError",
    "SubjectUnknownError",
    "V4l2Camera",
    "__version__",
    "camera_named",
    "matching",
]


def test_these_names_are_public() -> None:
    assert sorted(edge_sdk.__all__) == NAMES
    assert dir(edge_sdk) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    value = getattr(edge_sdk, name)
    if name != "__version__":
        assert inspect.getdoc(value)
        assert inspect.ismodule(value) or value.__name__ == name


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isclass(getattr(edge_sdk, n))])
def test_every_public_method_is_explained(name: str) -> None:
    for member, value in inspect.getmembers(getattr(edge_sdk, name)):
        if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member}"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'edge_sdk' has no attribute 'Recogniser'"):
        edge_sdk.Recogniser  # noqa: B018
    with pytest.raises(ImportError):
        from edge_sdk import Recogniser  # noqa: F401


def test_every_error_is_in_one_tree_and_public() -> None:
    classes = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert classes
    for name, value in classes.items():
        assert issubclass(value, edge_sdk.EdgeSdkError)
        assert getattr(edge_sdk, name) is value


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        ("ModelCardError", ValueError),
        ("ModelContractError", ValueError),
        ("BackendUnavailableError", ImportError),
        ("InputError", ValueError),
        ("GalleryFormatError", ValueError),
        ("SubjectExistsError", ValueError),
        ("SubjectUnknownError", LookupError),
    ],
)
def test_an_error_is_also_the_builtin_a_program_expects(error: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(edge_sdk, error), builtin)


def test_an_error_carries_its_way_out() -> None:
    assert errors.InputError("found none", hint="give one").hint == "give one"
    assert str(errors.InputError("found none", hint="give one")) == "found none"
    assert errors.AcquisitionError("no face", reason="no_face").reason == "no_face"


def test_every_module_can_be_imported_alone() -> None:
    for module in pkgutil.walk_packages([str(PACKAGE)], "edge_sdk."):
        importlib.import_module(module.name)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_device_needs_no_newer_python_than_3_10(source: Path) -> None:
    text = source.read_text()
    tree = ast.parse(text, str(source), feature_version=(3, 10))
    newer = {
        "typing": {
            "Self",
            "Never",
            "LiteralString",
            "Unpack",
            "assert_never",
            "reveal_type",
            "override",
            "TypeVarTuple",
        },
        "datetime": {"UTC"},
        "enum": {"StrEnum", "ReprEnum", "verify", "member", "nonmember"},
        "hashlib": {"file_digest"},
        "contextlib": {"chdir"},
        "itertools": {"batched"},
        "math": {"cbrt", "exp2", "sumprod"},
        "warnings": {"deprecated"},
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not {alias.name for alias in node.names} & newer.get(node.module or "", set())
            assert node.module != "tomllib"
        elif isinstance(node, ast.Import):
            assert "tomllib" not in {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.attr not in newer.get(node.value.id, set())
        elif isinstance(node, ast.Name):
            assert node.id not in {"ExceptionGroup", "BaseExceptionGroup"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_input_is_never_checked_by_assert_nor_an_error_swallowed_whole(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        assert not isinstance(node, ast.Assert)
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            # console.py is the boundary of the commands: an unexpected exception must not exit with 1, "no match".
            if source.name != "console.py":
                assert not (
                    isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}
                )
