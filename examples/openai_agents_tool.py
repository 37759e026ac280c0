"""`charge_customer` for the OpenAI Agents SDK: ``pip install openai-agents``, then ``Agent(tools=[charge_tool()])``.

The SDK's own calls to its model go to another host, which runcap tunnels unread.
"""

from typing import Any

from charge import charge_customer


def charge_tool() -> Any:
    """The function as a tool of the SDK; its docstring and type hints are what the model reads."""
    from agents import function_tool

    return function_tool(charge_customer)


if __name__ == "__main__":
    print(charge_tool().name)
