// The tickets as a table that is sorted, narrowed down and walked through, by mouse or keyboard.
// It asks nobody: all rows are here, and the kernel hears of the chosen one alone.

const CHUNK = 100; // Rows that are drawn at once; more as one gets there.
const ARROWS = { ascending: " ▲", descending: " ▼", none: "" };
const order = new Intl.Collator("en", { numeric: true }).compare;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function render({ model, el }) {
  let states = new Set(); // Those that alone are shown; none: all.
  let sorted = { column: -1, direction: "none" };
  let unfolded = false; // Whether those that need nobody are shown.
  let current = ""; // The row that the keyboard is at.
  let texts = new Map(); // What of each row is searched.
  let shown = []; // The rows that are listed.

  el.classList.add("dedl-tickets");
  const search = make("input", {
    type: "search",
    "aria-label": "Show only tickets with these words",
    placeholder: "show only tickets with …",
    oninput: draw,
  });
  const chips = make("div", { role: "group", "aria-label": "Show only tickets that are" });
  const head = make("thead");
  const body = make("tbody", { onkeydown: walk, onclick: point });
  const table = make("table", { "aria-label": "Tickets" }, head, body);
  const count = make("div", { class: "dedl-count", role: "status" });
  const box = make("div", { class: "dedl-scroll", onscroll: reach }, table);
  el.append(make("div", { class: "dedl-filters" }, search, chips), box, count);
  quieten();

  // JupyterLab would take arrows and Enter for commands to its cells.
  function quieten() {
    el.setAttribute("data-lm-suppress-shortcuts", "true");
    requestAnimationFrame(() =>
      el.closest(".jp-OutputArea-child")?.setAttribute("data-lm-suppress-shortcuts", "true")
    );
  }

  function matching() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (row) => words.every((word) => texts.get(row.id).includes(word));
    const rows = model.get("rows").filter(has);
    return { rows: rows.filter((row) => !states.size || states.has(row.state)), all: rows, words };
  }

  function read() {
    texts = new Map(model.get("rows").map((row) => [row.id, row.cells.join(" ").toLowerCase()]));
    draw();
  }

  function draw() {
    const held = document.activeElement?.closest?.("tr")?.dataset.ticket;
    const { rows, all, words } = matching();
    if (sorted.direction !== "none") {
      const sign = sorted.direction === "ascending" ? 1 : -1;
      rows.sort((a, b) => sign * order(a.cells[sorted.column], b.cells[sorted.column]));
    }
    const open = unfolded || words.length || states.size;
    const folded = open ? 0 : rows.filter((row) => row.done).length;
    shown = rows.filter((row) => open || !row.done);
    if (!shown.some((row) => row.id === current)) current = shown[0]?.id ?? "";
    drawChips(all);
    drawHead();
    const before = body.children.length;
    body.replaceChildren();
    // As many as before, so that nothing moves under the eyes of who looks on.
    drawMore(Math.max(CHUNK, held ? before : 0));
    const total = model.get("rows").length;
    count.replaceChildren(`${shown.length} of ${total} tickets. `);
    if (folded || unfolded) count.append(drawFold(folded));
    if (held) body.querySelector(`tr[data-ticket="${CSS.escape(held)}"]`)?.focus();
  }

  function drawMore(most = CHUNK) {
    const drawn = body.children.length;
    body.append(...shown.slice(drawn, drawn + most).map(drawRow));
  }

  function reach() {
    if (box.scrollTop + 2 * box.clientHeight > box.scrollHeight) drawMore();
  }

  function drawFold(folded) {
    const text = unfolded ? "Hide those that need nobody" : `Show ${folded} that need nobody`;
    const toggle = () => {
      unfolded = !unfolded;
      draw();
      count.querySelector("button")?.focus();
    };
    return make("button", { "aria-expanded": String(unfolded), onclick: toggle }, text);
  }

  function drawChips(rows) {
    const held = document.activeElement?.dataset?.state;
    const counts = new Map();
    for (const { state } of rows) counts.set(state, (counts.get(state) ?? 0) + 1);
    for (const state of states) if (!counts.has(state)) counts.set(state, 0);
    const chip = ([state, number]) => {
      const toggle = () => {
        states.has(state) ? states.delete(state) : states.add(state);
        draw();
      };
      const pressed = String(states.has(state));
      return make(
        "button",
        { "data-state": state, "aria-pressed": pressed, onclick: toggle },
        `${state} ${number}`
      );
    };
    chips.replaceChildren(...[...counts].map(chip));
    if (held) [...chips.children].find((one) => one.dataset.state === held)?.focus();
  }

  function drawHead() {
    const held = document.activeElement?.dataset?.column;
    const heading = (name, column) => {
      const direction = sorted.column === column ? sorted.direction : "none";
      const next = { none: "ascending", ascending: "descending", descending: "none" }[direction];
      const sort = () => {
        sorted = { column, direction: next };
        draw();
      };
      const button = make(
        "button", { "data-column": column, onclick: sort }, name + ARROWS[direction]
      );
      return make("th", { scope: "col", "aria-sort": direction }, button);
    };
    head.replaceChildren(make("tr", {}, ...model.get("columns").map(heading)));
    if (held) head.querySelector(`[data-column="${held}"]`)?.focus();
  }

  function drawRow(row) {
    const attributes = {
      "data-ticket": row.id,
      tabindex: row.id === current ? "0" : "-1",
      "aria-selected": String(row.id === model.get("chosen")),
    };
    const cell = (text, column) => {
      const badge = column === model.get("badge");
      const inner = badge ? make("b", { style: `background:${row.colour}` }, text) : text;
      return make(column ? "td" : "th", column ? {} : { scope: "row" }, inner);
    };
    return make("tr", attributes, ...row.cells.map(cell));
  }

  function choose(row) {
    move(row);
    model.set("chosen", row.dataset.ticket);
    model.save_changes();
    mark();
  }

  function mark() {
    const chosen = model.get("chosen");
    for (const row of body.children)
      row.setAttribute("aria-selected", String(row.dataset.ticket === chosen));
  }

  function move(row) {
    body.querySelector('tr[tabindex="0"]')?.setAttribute("tabindex", "-1");
    row.setAttribute("tabindex", "0");
    current = row.dataset.ticket;
    row.focus();
  }

  function point(event) {
    const row = event.target.closest("tr");
    if (row) choose(row);
  }

  function walk(event) {
    const row = event.target.closest("tr");
    if (!row) return;
    if (event.key === "End") drawMore(shown.length);
    else if (!row.nextSibling) drawMore();
    const rows = [...body.children];
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    const place = rows.indexOf(row);
    let to = null;
    if (event.key in steps)
      to = rows[Math.max(0, Math.min(rows.length - 1, place + steps[event.key]))];
    else if (event.key === "Home") to = rows[0];
    else if (event.key === "End") to = rows[rows.length - 1];
    else if (event.key === "Enter" || event.key === " ") choose(row);
    else return;
    event.preventDefault();
    if (to) move(to);
  }

  // The panel of the chosen ticket is drawn some time after the kernel has filled it.
  async function bringIntoView() {
    const output = el.closest(".jp-OutputArea-child") ?? document;
    for (let frame = 0; frame < 600; frame++) {
      const head = output.querySelector(".dedl-panel h3");
      if (head?.offsetHeight) {
        // With room for its first buttons, and no further than that.
        head.style.scrollMarginBottom = "14em";
        return head.scrollIntoView({ block: "nearest" });
      }
      await new Promise(requestAnimationFrame);
    }
  }

  model.on("change:rows", read);
  model.on("change:chosen", mark);
  model.on("msg:custom", bringIntoView);
  read();
  return () => {
    model.off("change:rows", read);
    model.off("change:chosen", mark);
    model.off("msg:custom", bringIntoView);
  };
}

export default { render };
