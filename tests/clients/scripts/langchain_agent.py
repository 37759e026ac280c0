"""LangChain's way of calling a tool: a model asks for it, the tool answers with a message, and the model goes on.

The model is LangChain's own fake one, in this process. The argument is the folder of the recipes.
"""

import importlib
import sys

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage

sys.path.insert(0, sys.argv[1])


def wish(number: int, cents: int) -> AIMessage:
    """What a model says that wants a customer charged."""
    call = ToolCall(name="charge_customer", args={"amount_cents": cents, "customer": "cus_123"}, id=f"call_{number}")
    return AIMessage(content="", tool_calls=[call])


tool = importlib.import_module("langchain_tool").charge_tool()
tools = {tool.name: tool}
model = GenericFakeChatModel(messages=iter([wish(1, 2000), wish(2, 9000), AIMessage(content="It is too dear.")]))
messages: list[BaseMessage] = [HumanMessage("Charge cus_123.")]
while (said := model.invoke(messages)).tool_calls:
    messages += [said, *(tools[call["name"]].invoke(call) for call in said.tool_calls)]
print(f"{tool.name}: {tool.description}")  # noqa: T201
for message in messages:
    if isinstance(message, ToolMessage):
        print(message.content)  # noqa: T201
