/* The few words of jQuery and bootstrap-table that the scripts within Data Docs' pages use, so that they work without
   the web: rows of the index with sorting and search, "Failed Only", and parts that fold. */
"use strict";
(() => {
  const tables = new Map();

  const text = (html) => {
    const holder = document.createElement("template");
    holder.innerHTML = String(html ?? "");
    return holder.content.textContent.trim();
  };

  class Table {
    constructor(place, options) {
      this.place = place;
      this.columns = options.columns;
      this.rows = [...options.data];
      this.clicked = [];
      this.search = document.createElement("input");
      this.search.type = "search";
      this.search.placeholder = "Search";
      this.search.setAttribute("aria-label", "Search the results");
      this.search.addEventListener("input", () => this.draw());
      place.before(this.search);
      place.parentElement.classList.add("factory-table");
      place.addEventListener("click", (event) => this.click(event));
      this.sort(options.sortName, options.sortOrder === "desc");
    }

    sort(field, down) {
      const column = this.columns.find((one) => one.field === field) ?? {};
      const value = (row) => row[column.sortName ?? `_${field}_sort`] ?? text(row[field]);
      const order = (a, b) => (value(a) > value(b)) - (value(a) < value(b));
      this.rows.sort((a, b) => (down ? -order(a, b) : order(a, b)));
      [this.field, this.down] = [field, down];
      this.draw();
    }

    draw() {
      const wanted = this.search.value.toLowerCase();
      const shown = this.rows.filter((row) =>
        this.columns.some(({ field }) => text(row[field]).toLowerCase().includes(wanted)));
      this.shown = shown;
      const cells = (row) => this.columns.map(({ field }) => `<td>${row[field] ?? ""}</td>`).join("");
      const heads = this.columns.map(({ field, title }) => `<th data-sort="${field}">${title}</th>`).join("");
      const lines = shown.map((row, index) => `<tr class="clickable-row" data-row="${index}">${cells(row)}</tr>`);
      this.place.innerHTML = `<thead><tr>${heads}</tr></thead><tbody>${lines.join("")}</tbody>`;
    }

    click(event) {
      const head = event.target.closest("th[data-sort]");
      const line = event.target.closest("tr[data-row]");
      if (head) this.sort(head.dataset.sort, this.field === head.dataset.sort && !this.down);
      if (!line || event.target.closest("a")) return;
      const row = this.shown[Number(line.dataset.row)];
      this.clicked.forEach((handler) => handler(event, row, { data: () => row._table_row_link_path }));
    }
  }

  const wrap = (found) => {
    const elements = [...found];
    const each = (act) => (elements.forEach(act), wrap(elements));
    return {
      each: (act) => each((element, index) => act(index, element)),
      parent: () => wrap(elements.map((element) => element.parentElement).filter(Boolean)),
      fadeIn: () => each((element) => { element.style.display = ""; }),
      fadeOut: () => each((element) => { element.style.display = "none"; }),
      ready: (act) => (document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", act) : act()),
      on: (name, act) => each((element) =>
        name === "click-row.bs.table" ? tables.get(element)?.clicked.push(act) : element.addEventListener(name, act)),
      bootstrapTable: (options) => each((element) => {
        const table = tables.get(element);
        if (typeof options === "object") tables.set(element, new Table(element, options));
        else if (table) { table.search.value = ""; table.draw(); }
      }),
    };
  };
  window.$ = window.jQuery = (what) => wrap(typeof what === "string" ? document.querySelectorAll(what) : [what]);

  document.addEventListener("click", (event) => {
    const folds = event.target.closest("[data-toggle=collapse]");
    if (!folds) return;
    event.preventDefault();
    const part = document.getElementById(folds.getAttribute("href").slice(1));
    folds.setAttribute("aria-expanded", String(part.classList.toggle("show")));
  });
})();
