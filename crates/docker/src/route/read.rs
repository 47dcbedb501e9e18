//! From method and target to [`Routed`].

use std::borrow::Cow;

use super::image_name::{ImageName, ImageNameError};
use super::object::{self, Object, Reference};
use super::query::{self, Kind, ParameterError, Value};
use super::target::Target;
use super::version::{self, Version};
use super::{Parameter, Route, RouteError, Routed, table};

/// Reads `method` and the target as it stood in the request line. `ceiling` is the newest version of the API
/// that the engine has.
pub fn parse(method: &str, target: &[u8], ceiling: Version) -> Result<Routed, RouteError> {
    let Target { segments, pairs } = Target::parse(target)?;
    let (version, segments) = version::split(&segments, ceiling)?;
    let routes = table::beginning_with(segments.first().map_or("", |word| word));
    let candidates: Vec<_> = routes
        .iter()
        .filter(|route| route.method == method)
        .filter_map(|route| route.bind(segments).map(|names| (*route, names)))
        .collect();
    if candidates.is_empty() {
        return Err(unknown(routes, segments));
    }
    let (route, names) = one_of(candidates, &pairs)?;
    if version.is_some_and(|version| version < route.since) {
        return Err(RouteError::NotYet(route.since));
    }
    let mut parameters = read_parameters(route, pairs)?;
    let mut routed = Routed {
        version,
        route,
        names: Vec::new(),
        objects: Vec::new(),
        new_images: Vec::new(),
        parameters: Vec::new(),
    };
    routed.take_path(&names, &parameters)?;
    routed.take_images(&mut parameters)?;
    routed.parameters = parameters;
    Ok(routed)
}

/// What there is at a path for which the method has nothing.
fn unknown(routes: &[&Route], segments: &[Cow<'_, str>]) -> RouteError {
    let mut methods: Vec<&str> = routes
        .iter()
        .filter(|route| route.bind(segments).is_some())
        .map(|route| route.method)
        .collect();
    methods.sort_unstable();
    methods.dedup();
    match methods.is_empty() {
        true => RouteError::NotFound,
        false => RouteError::Method(methods.join(", ")),
    }
}

/// Of several operations with one path, that whose parameter is there.
fn one_of(
    mut candidates: Vec<(&'static Route, Vec<String>)>,
    pairs: &[(&str, String)],
) -> Result<(&'static Route, Vec<String>), RouteError> {
    let marks: Vec<&str> = candidates.iter().filter_map(|(route, _)| route.when).collect();
    candidates.retain(|(route, _)| {
        route
            .when
            .is_none_or(|mark| pairs.iter().any(|(name, value)| *name == mark && !value.is_empty()))
    });
    match (candidates.pop(), candidates.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(RouteError::Which(marks.join(", "))),
    }
}

fn read_parameters(
    route: &'static Route,
    pairs: Vec<(&str, String)>,
) -> Result<Vec<Parameter>, RouteError> {
    let mut by_name: Vec<Vec<String>> = vec![Vec::new(); route.query.len()];
    for (name, value) in pairs {
        let known = route.query.iter().position(|(known, _)| *known == name);
        match known.and_then(|at| by_name.get_mut(at)) {
            Some(values) => values.push(value),
            // An empty one means nothing to any engine; some clients send all they know of.
            None if value.is_empty() && known_anywhere(route, name) => {}
            None => return Err(RouteError::parameter(name, ParameterError::Unknown)),
        }
    }
    let mut parameters = Vec::new();
    for ((name, kind), values) in route.query.iter().zip(by_name) {
        let value = kind.read(values).map_err(|reason| RouteError::parameter(name, reason))?;
        match value {
            Some(value) => parameters.push(Parameter { name, kind: *kind, value }),
            None if route.required.contains(name) => {
                return Err(RouteError::parameter(name, ParameterError::Missing));
            }
            None => {}
        }
    }
    Ok(parameters)
}

/// Whether another operation of the same path has the parameter.
fn known_anywhere(route: &Route, name: &str) -> bool {
    table::all()
        .filter(|other| other.pattern == route.pattern && other.method == route.method)
        .any(|other| other.query.iter().any(|(known, _)| *known == name))
}

impl Routed {
    fn take_path(&mut self, names: &[String], parameters: &[Parameter]) -> Result<(), RouteError> {
        let tag = parameters.iter().find(|parameter| parameter.kind == Kind::Tag);
        let tag = tag.and_then(|parameter| parameter.value.as_text());
        let (object, names) = object::of_path(self.route.pattern, names, tag)?;
        self.objects.extend(object);
        self.names = names;
        Ok(())
    }

    /// Names of images in the query, put together with the tag beside them.
    fn take_images(&mut self, parameters: &mut Vec<Parameter>) -> Result<(), RouteError> {
        for parameter in parameters.iter() {
            let refused = |reason: ParameterError| RouteError::parameter(parameter.name, reason);
            let texts = parameter.value.as_texts();
            let read = |read: fn(&str) -> Result<ImageName, ImageNameError>| {
                texts.iter().map(|text| read(text)).collect::<Result<Vec<_>, _>>()
            };
            match parameter.kind {
                Kind::Images => {
                    let images = read(ImageName::parse).map_err(|error| refused(error.into()))?;
                    self.objects.extend(images.into_iter().map(Object::Image));
                }
                Kind::NewImages => {
                    self.new_images =
                        read(query::new_image).map_err(|error| refused(error.into()))?;
                }
                Kind::RemotePlugin => {
                    let plugins =
                        read(ImageName::parse_named).map_err(|error| refused(error.into()))?;
                    self.objects.extend(plugins.into_iter().map(Object::Plugin));
                }
                Kind::Container => {
                    for text in texts {
                        let container =
                            Reference::parse(text).map_err(|error| refused(error.into()))?;
                        self.objects.push(Object::Container(container));
                    }
                }
                _ => {}
            }
        }
        self.take_tagged(parameters)
    }

    /// A repository and its tag, which the engine puts together: here they are put together first, so that
    /// `nginx:1&tag=2` has not two readings.
    fn take_tagged(&mut self, parameters: &mut Vec<Parameter>) -> Result<(), RouteError> {
        let is_repository =
            |parameter: &Parameter| matches!(parameter.kind, Kind::Pulled | Kind::NewRepository);
        let text_of = |parameter: &Parameter| parameter.value.as_text().map(str::to_owned);
        let tag_at = parameters.iter().position(|parameter| parameter.kind == Kind::Tag);
        let tag = tag_at.and_then(|at| parameters.get(at)).and_then(text_of);
        let Some(at) = parameters.iter().position(is_repository) else {
            let partner = self.route.query.iter().find(|(_, kind)| *kind == Kind::NewRepository);
            return match (tag, partner) {
                // Read with the path.
                (_, None) | (None, _) => Ok(()),
                (Some(_), Some((partner, _))) => {
                    Err(RouteError::parameter("tag", ParameterError::Alone(partner)))
                }
            };
        };
        let Some(repository) = parameters.get_mut(at) else { return Ok(()) };
        let (name, kind) = (repository.name, repository.kind);
        let refused = |error: ImageNameError| RouteError::parameter(name, error);
        let mut image =
            ImageName::parse_named(&text_of(repository).unwrap_or_default()).map_err(refused)?;
        if let Some(tag) = tag {
            image = image.with_tag(&tag).map_err(|error| RouteError::parameter("tag", error))?;
        }
        image = match kind {
            Kind::NewRepository => image.without_digest().map_err(refused)?.or_latest(),
            _ => image.by_digest_alone(),
        };
        repository.value = Value::Text(image.repository().unwrap_or_default());
        parameters.retain(|parameter| parameter.kind != Kind::Tag);
        if let Some(tag) = image.digest().or(image.tag()) {
            // The table has the tag right after the repository.
            let value = Value::Text(tag.to_owned());
            parameters.insert(at + 1, Parameter { name: "tag", kind: Kind::Tag, value });
        }
        match kind {
            Kind::NewRepository => self.new_images.push(image),
            _ => self.objects.push(Object::Image(image)),
        }
        Ok(())
    }
}
