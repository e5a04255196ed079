//! SVG nodes made by hand: drawings of many shapes that are replaced as a whole need no reactive nodes.
//!
//! Texts become text nodes, attributes are set by name; nothing is ever parsed as markup.

use leptos::prelude::document;
use web_sys::Element;

const SVG: &str = "http://www.w3.org/2000/svg";

/// An SVG element under construction; when the browser refuses to make one, nothing is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Shape(Option<Element>);

/// A new element.
pub(crate) fn svg(tag: &str) -> Shape {
    Shape(document().create_element_ns(Some(SVG), tag).ok())
}

/// A text at a place.
pub(crate) fn text(class: &str, x: f64, y: f64, text: &str) -> Shape {
    svg("text").set("class", class).num("x", x).num("y", y).text(text)
}

/// A path.
pub(crate) fn path(class: &str, d: &str) -> Shape {
    svg("path").set("class", class).set("d", d)
}

/// A box.
pub(crate) fn rect(class: &str, x: f64, y: f64, width: f64, height: f64) -> Shape {
    svg("rect").set("class", class).num("x", x).num("y", y).num("width", width).num("height", height)
}

impl Shape {
    /// Sets an attribute.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        if let Some(element) = &self.0 {
            let _ = element.set_attribute(name, value);
        }
        self
    }

    /// Sets an attribute to a number of pixels.
    pub(crate) fn num(self, name: &str, value: f64) -> Self {
        self.set(name, &format!("{value:.1}"))
    }

    /// Sets an attribute to a position, when there is one.
    pub(crate) fn mark(self, name: &str, value: Option<usize>) -> Self {
        match value {
            Some(value) => self.set(name, &value.to_string()),
            None => self,
        }
    }

    /// Adds a text node.
    pub(crate) fn text(self, text: &str) -> Self {
        if let Some(element) = &self.0 {
            let _ = element.append_child(&document().create_text_node(text));
        }
        self
    }

    /// What the pointer at rest is told.
    pub(crate) fn title(self, title: &str) -> Self {
        self.with(svg("title").text(title))
    }

    /// Adds a child.
    pub(crate) fn with(self, child: Self) -> Self {
        self.add(child);
        self
    }

    /// Adds a child.
    pub(crate) fn add(&self, child: Self) {
        if let (Some(element), Some(child)) = (&self.0, child.0) {
            let _ = element.append_child(&child);
        }
    }
}

/// Replaces everything in an element by these shapes.
pub(crate) fn replace(host: &Element, shapes: impl IntoIterator<Item = Shape>) {
    host.set_text_content(None);
    for shape in shapes {
        if let Some(element) = shape.0 {
            let _ = host.append_child(&element);
        }
    }
}
