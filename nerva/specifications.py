"""Registries of components, which textual specifications such as `Momentum(mu=0.9)` name."""

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, NewType, TypeVar, get_type_hints

from nerva.errors import NervaError
from nerva.utilities import parse_function_call, shown

T = TypeVar("T")

# The annotation of a parameter that takes the specification of another component of the same registry, as text.
Specification = NewType("Specification", str)


class Registry(Generic[T]):
    """The components of one kind, by name.

    A component is a class or a function. Its parameters are the arguments of its specification. The annotation of a
    parameter (`float`, `int`, `str`, `list[int]`) determines how the text of an argument is read; without an
    annotation, the type of the default does. `given` names the parameters that are not arguments, such as the matrix
    that an optimizer updates. A parameter with the annotation `of` takes another component of this registry, as in
    `WarmUp(Constant(0.1), 5)`; one with the annotation `Specification` takes the text of one.

    A user-defined component is registered by name:

        @ACTIVATIONS.register("Cube")
        class CubeActivation(ActivationFunction): ...
    """

    def __init__(self, kind: str, given: tuple[str, ...] = (), of: type[T] | None = None) -> None:
        self.kind = kind
        self.given = given
        self.of = of
        self.components: dict[str, Callable[..., T]] = {}

    def add(self, name: str, component: Callable[..., T]) -> None:
        """Register a component under a name.

        Raises:
            NervaError: if the name is taken or is not an identifier, or if the component is neither a class nor a
                function.
        """
        if name in self.components or not name.isidentifier():
            raise NervaError(f'the {self.kind} name "{name}" is taken, or is not an identifier')
        known: object = component
        if not (inspect.isclass(known) or inspect.isfunction(known)):
            raise NervaError(f'the {self.kind} "{name}" should be a class or a function, not {component!r:.100}')
        self.components[name] = component

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Register a component under a name, as a decorator."""

        def decorate(component: Callable[..., T]) -> Callable[..., T]:
            self.add(name, component)
            return component

        return decorate

    def bind(self, text: str) -> Callable[..., T]:
        """The component that a specification names, with its arguments bound. A call still takes those of `given`.

        Raises:
            NervaError: if the name is unknown, or an argument is unknown, missing, or of another type.
        """
        component, texts, parameters = self._call(text)
        return functools.partial(
            component, **{key: self._read(key, value, parameters[key].annotation, text) for key, value in texts.items()}
        )

    def parse(self, text: str) -> T:
        """The component that a specification names, for a registry without `given`."""
        return self.bind(text)()

    def check(self, name: str, *others: "Registry[Any]") -> None:
        """Raise a NervaError if neither this registry nor another one has a name.

        The message lists the known names, the most similar ones first.
        """
        known = list(dict.fromkeys(name for registry in (self, *others) for name in registry.components))
        if name not in known:
            word = name[:100].lower()
            nearest = sorted(known, key=lambda other: -difflib.SequenceMatcher(None, other.lower(), word).ratio())
            raise NervaError(f'unknown {self.kind} "{shown(name)}"; known: {", ".join(nearest)}')

    def canonical(self, text: str) -> str:
        """The canonical form of a specification: all arguments by name and in their types, including defaults.

        Specifications with the same meaning have the same canonical form. It depends on the registry and on the
        signature of the component only, not on how the component prints itself.

        Raises:
            NervaError: as `bind` does.
        """
        component, texts, parameters = self._call(text)
        arguments: dict[str, Any] = {}
        for key, parameter in parameters.items():
            if nested := self._nested(texts, parameter):
                arguments[key] = self.canonical(nested)
            elif key in texts:
                arguments[key] = self._read(key, texts[key], parameter.annotation, text)
            elif parameter.annotation in _READERS:
                # The default of a float may be an integer.
                number = parameter.annotation in (float, float | None) and parameter.default is not None
                arguments[key] = float(parameter.default) if number else parameter.default
        inside = ", ".join(f"{key}={value}" for key, value in arguments.items() if value is not None)
        # A component may have several names.
        name = next(name for name, known in self.components.items() if known is component)
        return f"{name}({inside})" if inside else name

    def named(self, text: str) -> list[Callable[..., T]]:
        """The components that a specification names, including those inside others: classes or functions."""
        component, texts, parameters = self._call(text)
        nested = [inner for parameter in parameters.values() if (inner := self._nested(texts, parameter))]
        return [component, *(found for inner in nested for found in self.named(inner))]

    def _call(self, text: str) -> tuple[Callable[..., T], dict[str, str], dict[str, inspect.Parameter]]:
        """The component that a specification names, the texts of its arguments, and its parameters with their types."""
        call = parse_function_call(text)
        self.check(call.name)
        component = self.components[call.name]
        parameters = {name: p for name, p in _parameters(component).items() if name not in self.given}
        where = f'{self.kind} "{shown(text)}"'
        if len(call.values) > len(parameters):
            raise NervaError(f"{where}: {call.name} takes {_listed(parameters)}")
        named = {key: value for key, value in call.arguments.items() if key}
        arguments = dict(zip(parameters, call.values, strict=False))
        for key, value in named.items():
            if key not in parameters:
                raise NervaError(f'{where}: there is no "{shown(key)}"; {call.name} takes {_listed(parameters)}')
            if key in arguments:
                raise NervaError(f'{where}: "{key}" is given twice')
            arguments[key] = value
        for key, parameter in parameters.items():
            if parameter.default is parameter.empty and key not in arguments:
                raise NervaError(f'{where}: {call.name} needs a value for "{key}"')
        return component, arguments, parameters

    def _nested(self, texts: dict[str, str], parameter: inspect.Parameter) -> str:
        """The specification of the component that a parameter takes; "" if it takes none or has no such default."""
        if parameter.annotation not in (self.of, Specification):
            return ""
        default = parameter.default if isinstance(parameter.default, str) else ""
        return texts.get(parameter.name, default)

    def _read(self, key: str, value: str, type_: Any, text: str) -> Any:
        """The value of an argument, in the type of its parameter."""
        if type_ is self.of:
            return self.parse(value)
        if type_ not in _READERS:
            raise NervaError(f'"{shown(text)}": "{key}" has the type {type_}, which cannot be read from text')
        what, read = _READERS[type_]
        try:
            result = read(value)
            if result != result:
                raise ValueError("not a number")
            return result
        except ValueError:
            raise NervaError(f'"{shown(text)}": "{key}" should be {what}, not "{shown(value)}"') from None


# For each type of parameter: what is expected, for messages, and a function that reads it from text.
_READERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    float: ("a number", float),
    float | None: ("a number", float),
    int: ("a whole number", int),
    str: ("a text", str),
    Specification: ("a text", Specification),
    list[int]: ("whole numbers", lambda value: [int(word) for word in value.strip("[]").split(",")]),
}


@functools.cache
def _parameters(component: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a component, with their types: the points of a sweep name the same few components."""
    types = get_type_hints(component.__init__ if inspect.isclass(component) else component)
    return {
        name: parameter.replace(annotation=types.get(name, _type_of(parameter)))
        for name, parameter in inspect.signature(component).parameters.items()
    }


def _type_of(parameter: inspect.Parameter) -> Any:
    """The type of a parameter without annotation: that of its default, or else float."""
    return float if parameter.default in (parameter.empty, None) else type(parameter.default)


def _listed(parameters: dict[str, inspect.Parameter]) -> str:
    return ", ".join(f'"{name}"' for name in parameters) or "no arguments"
