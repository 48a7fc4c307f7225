"""The frame of a page for people: readable at any width from 320 pixels on, in the light and in the dark.

It loads nothing: `PAGE_HEADERS` forbid it.
"""

from html import escape

from factory.gateway.http.messages import HTML, Answer

PAGE_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"cache-control", b"no-store"),
)
_FRAME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --text: #222; --back: #fff; --quiet: #f5f5f5; --line: #ddd; --link: #05b;
  --bad: #a00; --trial: #f0f5ff }}
@media (prefers-color-scheme: dark) {{
  :root {{ --text: #ddd; --back: #16181c; --quiet: #23262c; --line: #3d424b; --link: #8ab4f8; --bad: #ff8a80;
    --trial: #1b2536 }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: var(--text);
  background: var(--back); overflow-wrap: break-word }}
a, .method {{ color: var(--link) }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; background: var(--quiet); padding: .6rem; max-width: 60rem }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }}
.sites {{ width: 100% }}
.sites th, .sites td {{ padding: .35rem .6rem; border-bottom: 1px solid var(--line) }}
.sites td:nth-child(2) {{ min-width: 8rem; overflow-wrap: anywhere }}
.refused {{ color: var(--bad) }}
.trial {{ background: var(--trial) }}
.operation {{ border: 1px solid var(--line); border-radius: 4px; margin: .5rem 0; padding: .4rem .8rem }}
.operation code {{ font-weight: 600 }}
.method {{ display: inline-block; width: 3.5rem; text-transform: uppercase }}
@media (max-width: 75rem) {{
  .sites thead {{ display: none }}
  .sites, .sites tbody, .sites tr {{ display: block }}
  .sites tr {{ border: 1px solid var(--line); border-radius: 4px; margin: .8rem 0; padding: .4rem .8rem }}
  .sites td {{ display: grid; grid-template-columns: 8rem minmax(0, 1fr); gap: .6rem; border: 0; padding: .15rem 0 }}
  .sites td::before {{ content: attr(data-name); opacity: .7 }}
  .sites .refused td, .sites td:last-child {{ display: block }}
  .sites .served td:last-child::before {{ content: none }}
}}
</style>
{content}
</html>
"""


def page(title: str, content: str) -> Answer:
    """Return a page; `content` is HTML."""
    body = _FRAME.format(title=escape(title), content=content)
    return Answer(body=body.encode(), kind=HTML, headers=PAGE_HEADERS)
