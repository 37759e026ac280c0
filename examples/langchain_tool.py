"""`charge_customer` for LangChain: ``pip install langchain-core``, then give `charge_tool()` to an agent."""

from typing import Any

from charge import charge_customer


def charge_tool() -> Any:
    """The function as a LangChain tool; its docstring and type hints are what the model reads."""
    from langchain_core.tools import StructuredTool

    return StructuredTool.from_function(charge_customer, parse_docstring=True)


if __name__ == "__main__":
    print(charge_tool().invoke({"amount_cents": 2000, "customer": "cus_123"}))
