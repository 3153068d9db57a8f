"""Markers that call tools: the right tool of every client, in its own schema, and never twice."""

from __future__ import annotations

import json

import pytest

from providers.simulator.scenario import Director, find_markers, last_user_text
from providers.simulator.tools import Call

COMMAND = 'echo "hi [[ -f x ]]" > out.txt'


def function(name, required=None, **properties):
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {"type": "function", "name": name, "parameters": schema}


TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
LIST = {"type": "array", "items": {"type": "string"}}


def calls(text, tools, **fields):
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    plan = Director({"input": [message], "tools": tools, **fields}, "reply").direct()
    return [output for output in plan.outputs if isinstance(output, Call)]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (function("exec_command", ["cmd"], cmd=TEXT, workdir=TEXT), {"cmd": "ls -l"}),
        (function("shell", ["command"], command=LIST, workdir=TEXT), {"command": ["bash", "-lc", "ls -l"]}),
        (function("shell_command", ["command"], command=TEXT), {"command": "ls -l"}),
        (function("Bash", ["command"], command=TEXT, timeout={"type": "number"}), {"command": "ls -l"}),
        (function("run_shell_command", ["command"], command=TEXT, description=TEXT), {"command": "ls -l"}),
        (function("bash", command=TEXT, description=TEXT), {"command": "ls -l", "description": "demo"}),
        (
            function("execute_command", command=TEXT, requires_approval=FLAG),
            {"command": "ls -l", "requires_approval": False},
        ),
        (function("run_commands", commands=LIST), {"commands": ["ls -l"]}),
        (function("runTerminalCommand", command=TEXT), {"command": "ls -l"}),
        (function("mcp__box__run_bash", command=TEXT), {"command": "ls -l"}),
    ],
)
def test_sh_calls_the_shell_tool_of_each_client_in_its_own_schema(tool, arguments):
    other = function("Read", ["file_path"], file_path=TEXT)
    (call,) = calls("run [[SH:ls -l]]", [other, tool])
    assert call.name == tool["name"]
    assert json.loads(call.payload) == arguments


def test_sh_calls_the_legacy_local_shell():
    (call,) = calls("[[SH:ls]]", [{"type": "local_shell"}])
    assert (call.kind, call.command) == ("local_shell", ["bash", "-lc", "ls"])


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (function("Write", file_path=TEXT, content=TEXT), {"file_path": "/w/a.txt", "content": "hi\n"}),
        (function("write_file", file_path=TEXT, content=TEXT), {"file_path": "/w/a.txt", "content": "hi\n"}),
        (function("write", filePath=TEXT, content=TEXT), {"filePath": "/w/a.txt", "content": "hi\n"}),
        (function("write_to_file", path=TEXT, content=TEXT), {"path": "/w/a.txt", "content": "hi\n"}),
        (function("create_new_file", filepath=TEXT, contents=TEXT), {"filepath": "/w/a.txt", "contents": "hi\n"}),
    ],
)
def test_write_calls_the_file_tool_of_each_client(tool, arguments):
    edit = function("Edit", file_path=TEXT, old_string=TEXT, new_string=TEXT)
    (call,) = calls("[[WRITE:/w/a.txt]]", [edit, function("Bash", command=TEXT), tool])
    assert call.name == tool["name"]
    assert json.loads(call.payload) == arguments


def test_write_uses_a_patch_where_the_client_patches_and_the_shell_where_it_has_neither():
    (patch,) = calls("[[WRITE:a.txt|one]]", [{"type": "custom", "name": "apply_patch"}])
    assert patch.payload == "*** Begin Patch\n*** Add File: a.txt\n+one\n*** End Patch\n"
    (typed,) = calls("[[WRITE:a.txt|one]]", [function("apply_patch", patchText=TEXT)])
    assert json.loads(typed.payload)["patchText"].startswith("*** Begin Patch")
    (shell,) = calls("[[WRITE:a.txt|one]]", [function("Bash", command=TEXT)])
    assert "a.txt" in json.loads(shell.payload)["command"]


def test_the_captured_tools_of_real_clients_are_understood(capture):
    http = capture("http_tool_and_resume")["tools"]
    (call,) = calls("[[SH:ls]]", http)
    assert (call.name, json.loads(call.payload)) == ("exec_command", {"cmd": "ls"})
    (call,) = calls("[[WRITE:a]]", http)
    assert (call.kind, call.name) == ("custom", "apply_patch")
    claude = capture("claude_code_tools")
    assert [call.name for call in calls("[[SH:ls]] [[WRITE:/a]]", claude)] == ["Bash", "Write"]


def test_code_mode_is_called_with_javascript(capture):
    lite = capture("lite_after_exec")
    prelude = [item for item in lite["input"] if item["type"] == "additional_tools"]
    message = {"type": "message", "role": "user", "content": f"[[SH:{COMMAND}]]"}
    plan = Director({"input": [*prelude, message]}, "reply").direct()
    call = next(output for output in plan.outputs if isinstance(output, Call))
    assert (call.kind, call.name, call.namespace) == ("custom", "exec", None)
    assert "tools.exec_command({cmd: " in call.payload


def test_a_tool_can_be_called_by_name_with_nested_json_and_in_parallel():
    tools = [function("look_up", ["q"], q={"type": "array"}, depth={"type": "integer"})]
    (call,) = calls('[[TOOL:look_up {"q": [[1, 2]], "s": "]]"}]]', tools)
    assert json.loads(call.payload) == {"q": [[1, 2]], "s": "]]"}
    assert len(calls("[[PARALLEL:3]]", tools)) == 3
    assert len(calls("[[PARALLEL:2]] [[SH:ls]]", [function("bash", command=TEXT)])) == 2
    namespaced = [{"type": "namespace", "name": "box", "tools": tools}]
    assert calls("[[TOOL:look_up {}]]", namespaced)[0].namespace == "box"


def test_tool_choice_is_obeyed():
    tools = [function("first", a=TEXT), function("second", b={"type": "integer"})]
    assert calls("hi", tools) == []
    assert [call.name for call in calls("hi", tools, tool_choice="required")] == ["first"]
    forced = calls("hi", tools, tool_choice={"type": "function", "name": "second"})
    assert [json.loads(call.payload) for call in forced] == [{"b": 1}]
    assert calls("[[TOOL:first]]", tools, tool_choice="none") == []


def test_without_the_tool_the_marker_is_just_text():
    assert calls("[[SH:ls]] [[WRITE:a]] [[TOOL:none {}]]", [function("weather", city=TEXT)]) == []


def test_only_what_the_user_said_last_is_read():
    old = {"type": "message", "role": "user", "content": "[[SH:old]]"}
    answer = {"type": "message", "role": "assistant", "content": "[[SAY:no]]"}
    call = {"type": "function_call", "call_id": "c", "name": "bash", "arguments": '{"command": "echo [[SH:x]]"}'}
    result = {"type": "function_call_output", "call_id": "c", "output": "[[SH:loop]]"}
    assert last_user_text([old, answer]) == ""
    assert last_user_text([old, call, result]) == ""
    assert last_user_text([old, call, result, {"role": "user", "content": "next"}]) == "next"
    # Clients put their context in messages of its own around the prompt.
    context = {"role": "user", "content": [{"type": "input_text", "text": "<environment/>"}]}
    assert "[[SH:old]]" in last_user_text([old, context])


def test_markers_are_found_whatever_surrounds_them():
    found = find_markers("a [[SAY:x]] [[nope]] [[UNKNOWN:y]] [[SH:test ${a[0]}]] [[PARALLEL:2]] [[SH:broken")
    assert [(marker.name, marker.argument) for marker in found] == [
        ("SAY", "x"),
        ("SH", "test ${a[0]}"),
        ("PARALLEL", "2"),
    ]


@pytest.mark.asyncio
async def test_a_whole_tool_loop_ends_with_the_reply(client, say):
    bash = function("Bash", command=TEXT)
    async with client() as c:
        history = [say.user("[[SAY:One moment.]] [[SH:echo hi]]")]
        first = say.items_of(await c.events(history, tools=[bash]))
        assert [item["type"] for item in first] == ["message", "function_call"]
        history += first
        history.append({"type": "function_call_output", "call_id": first[1]["call_id"], "output": "[[SH:again]] hi"})
        second = await c.events(history, tools=[bash])
        assert say.text_of(second) == "PONG-42 all done."


@pytest.mark.asyncio
async def test_argument_deltas_carry_only_the_item_id(client, say):
    async with client() as c:
        events = await c.events("[[SH:ls -la]]", tools=[function("Bash", command=TEXT)])
    deltas = [event for event in events if event["type"] == "response.function_call_arguments.delta"]
    item = say.items_of(events)[0]
    assert len(deltas) == 2
    assert "".join(event["delta"] for event in deltas) == item["arguments"]
    assert all(event["item_id"] == item["id"] and "call_id" not in event for event in deltas)


@pytest.mark.asyncio
async def test_a_marker_that_makes_no_sense_is_told_in_the_answer(client, say):
    async with client() as c:
        assert "FAULT not understood: unknown fault 'F77'" in say.text_of(await c.events("[[FAULT:F77]]"))
        assert "STREAM not understood" in say.text_of(await c.events("[[STREAM:many]]"))
