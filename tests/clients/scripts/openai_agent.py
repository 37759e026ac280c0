"""The OpenAI Agents SDK's own loop: a model asks for a tool, the SDK calls it and gives the model its answer.

The model is a fake one in this process. The argument is the folder of the recipes.
"""

import importlib
import json
import sys
from typing import Any

from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage

sys.path.insert(0, sys.argv[1])


def wish(number: int, cents: int) -> ResponseFunctionToolCall:
    """What a model says that wants a customer charged."""
    arguments = json.dumps({"amount_cents": cents, "customer": "cus_123", "currency": "usd"})
    return ResponseFunctionToolCall(
        arguments=arguments, call_id=f"call_{number}", name="charge_customer", type="function_call"
    )


def words(text: str) -> ResponseOutputMessage:
    """What a model says to the user."""
    content = ResponseOutputText(annotations=[], text=text, type="output_text")
    return ResponseOutputMessage(id="msg_1", content=[content], role="assistant", status="completed", type="message")


class FakeModel(Model):
    """Says its lines in order, whatever it hears."""

    def __init__(self, *lines: Any) -> None:
        self._lines = iter(lines)

    async def get_response(self, *_args: Any, **_options: Any) -> ModelResponse:
        """Say the next line."""
        return ModelResponse(output=[next(self._lines)], usage=Usage(), response_id=None)

    def stream_response(self, *_args: Any, **_options: Any) -> Any:
        """Nobody asks for it."""
        raise NotImplementedError


tool = importlib.import_module("openai_agents_tool").charge_tool()
agent = Agent(name="biller", tools=[tool], model=FakeModel(wish(1, 2000), wish(2, 9000), words("It is too dear.")))
result = Runner.run_sync(agent, "Charge cus_123.", run_config=RunConfig(tracing_disabled=True))
print(f"{tool.name}: {tool.description}")  # noqa: T201
for item in result.new_items:
    if item.type == "tool_call_output_item":
        print(item.output)  # noqa: T201
