"""The one entry to templates of both kinds: what a client brings, and what a bundle's template makes of it.

Chooses between plain rendering and the slower one that tells the template's own words from foreign ones. Templates of
either kind are imported when the first one is used.
"""

from __future__ import annotations

from bundler.errors import BundleError
from bundler.formats.manifest import Template
from bundler.prompt import foreign
from bundler.prompt.conversation import Completion, Conversation, Rendered
from bundler.prompt.specials import Specials


def check(template: Template) -> None:
    """See whether the text is a template, and make it ready.

    Raises:
        BundleError: it is none; the message names the line.
    """
    if template.kind == "go":
        from bundler.prompt.ollama.template import read

        read(template.text)
    else:
        from bundler.prompt import jinja

        jinja.check(template.text)


def render(template: Template, conversation: Conversation, specials: Specials) -> Rendered:
    """The prompt of a conversation; what is foreign in it is told wherever one of `specials` could be.

    Raises:
        BundleError: the template is none, fails, or refuses the conversation.
    """
    brought = (conversation.messages, conversation.tools, conversation.documents, conversation.arguments)
    harmless = specials.cannot_occur(brought)
    if template.kind == "go":
        from bundler.prompt.ollama.template import read

        return foreign.join([read(template.text).chat(conversation, foreign=not harmless)])
    from bundler.prompt import jinja

    return Rendered(jinja.render(template, conversation)) if harmless else jinja.render_marked(template, conversation)


def complete(template: Template, completion: Completion, specials: Specials) -> Rendered:
    """The prompt of a text to be continued, as a question in a chat; or, where it has a suffix, of the gap before that.

    Raises:
        BundleError: as `render`, or the template knows no gaps.
    """
    if not completion.suffix:
        said = [("system", completion.system), ("user", completion.prompt)]
        messages = [{"role": role, "content": content} for role, content in said if content or role == "user"]
        return render(template, Conversation(messages=messages, think=completion.think), specials)
    if template.kind != "go":
        raise BundleError(
            "failed to render the prompt: a Jinja template has no place for a suffix",
            "send the prompt alone, or give the bundle a TEMPLATE with .Suffix",
        )
    from bundler.prompt.ollama.template import read

    harmless = specials.cannot_occur((completion.prompt, completion.suffix))
    return foreign.join([read(template.text).fill(completion, foreign=not harmless)])
