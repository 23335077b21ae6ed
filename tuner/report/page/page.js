"use strict";
(function () {
  const read = (id) => {
    const found = document.getElementById(id);
    return found ? JSON.parse(found.textContent) : null;
  };
  const views = {};

  function openPoint(position) {
    const point = document.getElementById("point-" + position);
    if (!point) return;
    point.open = true;
    point.scrollIntoView({ block: "start" });
    point.querySelector("summary").focus();
  }

  function draw(name, spec) {
    const place = document.querySelector('[data-chart="' + name + '"]');
    if (!place) return Promise.resolve();
    const options = { actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true } };
    return window.vegaEmbed(place, spec, options).then(({ view }) => {
      views[name] = view;
      view.addEventListener("click", (_, item) => {
        if (item && item.datum && Number.isInteger(item.datum.position)) openPoint(item.datum.position);
      });
      place.dataset.drawn = "yes";
    });
  }

  // bounds are ascending: a target between two of them has the answer of the upper one
  function answerFor(choice, recall, budget, prefer) {
    let column = -1;
    while (column + 1 < choice.sizes.length && choice.sizes[column + 1] <= budget) column += 1;
    const at = choice.recalls.findIndex((bound) => bound >= recall);
    const row = recall === choice.recall ? choice.own[prefer] : choice.answers[prefer][at];
    return row && column >= 0 ? row[column] : -1;
  }

  function choosing(choice) {
    const recall = document.getElementById("recall");
    const budget = document.getElementById("budget");
    const said = document.getElementById("answer");
    let target = choice.recall;
    const part = (parent, tag, text) => {
      const made = parent.appendChild(document.createElement(tag));
      made.textContent = text;
      return made;
    };
    const show = () => {
      const prefer = document.querySelector('input[name="prefer"]:checked').value;
      const bytes = Number(budget.value);
      const most = bytes >= choice.most_size;
      document.getElementById("recall-value").textContent = String(target);
      const megabytes = (bytes / 1e6).toPrecision(3);
      document.getElementById("budget-value").textContent = most ? "no limit" : Number(megabytes).toLocaleString("en") + " MB";
      budget.setAttribute("aria-valuetext", most ? "no limit" : megabytes + " megabytes");
      const found = answerFor(choice, target, bytes, prefer);
      said.textContent = "";
      said.dataset.setting = String(found);
      const setting = choice.settings[found];
      if (!setting) {
        part(said, "b", "Nothing that was measured meets these limits.");
      } else {
        part(said, "b", setting.label + ", ef_search=" + setting.ef_search);
        part(said, "div", "recall " + setting.recall.toFixed(4) + " on these queries (at least " + setting.lower.toFixed(4) + "), " + setting.memory_text + ", " + setting.time_text + " a query");
        const button = part(said, "button", "Its configuration and code");
        button.type = "button";
        button.addEventListener("click", () => openPoint(setting.position));
      }
      if (views.front) views.front.signal("chosen", setting ? setting.position : -1).runAsync();
    };
    recall.addEventListener("input", () => { target = Number(recall.value); show(); });
    budget.addEventListener("input", show);
    document.querySelectorAll('input[name="prefer"]').forEach((each) => each.addEventListener("change", show));
    document.getElementById("choose").addEventListener("submit", (event) => event.preventDefault());
    show();
  }

  const specs = read("specs");
  Promise.all(Object.keys(specs).map((name) => draw(name, specs[name]))).then(() => {
    document.documentElement.dataset.ready = "yes";
  });
  // marks with a tooltip, drawn one by one: what tests count
  function marks(name) {
    let found = 0;
    const visit = (item) => {
      (item.items || []).forEach((each) => {
        if (each.items) visit(each);
        else if (each.tooltip && item.role === "mark" && item.marktype !== "line") found += 1;
      });
    };
    visit(views[name].scenegraph().root);
    return found;
  }

  window.tuneReport = { views, answerFor, marks };
  const choice = read("choice");
  if (choice) choosing(choice);
})();
