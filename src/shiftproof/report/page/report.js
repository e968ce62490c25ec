// In a report: the widget in the place of each still plane.

for (const figure of document.querySelectorAll("figure.plane")) {
  const still = figure.querySelector(".still");
  const place = document.createElement("div");
  still.before(place);
  mountPlane(place, JSON.parse(figure.querySelector("script").textContent));
  still.classList.add("replaced");
}
